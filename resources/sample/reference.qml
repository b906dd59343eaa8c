<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
 <renderer-v2 type="categorizedSymbol" attr="class" symbollevels="0">
  <categories>
   <category render="true" value="Water" type="string" symbol="0" label="Water" />
   <category render="true" value="Asphalt" type="string" symbol="1" label="Asphalt" />
   <category render="true" value="Flat roof" type="string" symbol="2" label="Flat roof" />
   <category render="true" value="Tile roof" type="string" symbol="3" label="Tile roof" />
   <category render="true" value="Bare soil" type="string" symbol="4" label="Bare soil" />
   <category render="true" value="Stubble" type="string" symbol="5" label="Stubble" />
   <category render="true" value="Crop" type="string" symbol="6" label="Crop" />
   <category render="true" value="Grassland" type="string" symbol="7" label="Grassland" />
   <category render="true" value="Broadleaved trees" type="string" symbol="8" label="Broadleaved trees" />
   <category render="true" value="Conifers" type="string" symbol="9" label="Conifers" />
  </categories>
  <symbols>
   <symbol type="marker" name="0" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="56,120,190,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="56,120,190,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
   <symbol type="marker" name="1" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="130,130,138,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="130,130,138,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
   <symbol type="marker" name="2" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="92,70,120,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="92,70,120,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
   <symbol type="marker" name="3" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="205,70,50,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="205,70,50,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
   <symbol type="marker" name="4" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="166,120,80,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="166,120,80,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
   <symbol type="marker" name="5" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="232,212,130,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="232,212,130,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
   <symbol type="marker" name="6" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="190,214,40,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="190,214,40,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
   <symbol type="marker" name="7" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="120,190,90,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="120,190,90,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
   <symbol type="marker" name="8" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="50,140,50,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="50,140,50,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
   <symbol type="marker" name="9" alpha="1">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="10,80,60,255" />
      <Option type="QString" name="name" value="circle" />
      <Option type="QString" name="size" value="1.8" />
      <Option type="QString" name="outline_color" value="255,255,255,255" />
      <Option type="QString" name="outline_width" value="0.2" />
     </Option>
     <prop k="color" v="10,80,60,255" />
     <prop k="name" v="circle" />
     <prop k="size" v="1.8" />
     <prop k="outline_color" v="255,255,255,255" />
     <prop k="outline_width" v="0.2" />
    </layer>
   </symbol>
  </symbols>
 </renderer-v2>
</qgis>
